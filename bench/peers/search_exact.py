"""The exact engines in turn: milliseconds of a call, for some sizes of batches, k and threads."""

import os
import sys
import time

import search_systems
from search_peer import KS, Peer, machine, shape

OURS = ["tandem-fp32", "tandem-int8"]
EXACT = OURS + ["numpy", "torch", "faiss-flat", "faiss-debian", "scann-exact", "scann-core-exact"]


def exact(arguments):
    rows, dim = shape(arguments.items)
    print(f"{arguments.items} ({rows}, {dim}), load {os.getloadavg()[0]:.1f}")
    cases = [(size, k, threads) for threads in arguments.threads for size in (1, 256) for k in KS]
    found = {}
    for threads in arguments.threads:
        peers = start_exact(arguments, threads, rows, dim)
        for case in (case for case in cases if case[2] == threads):
            found[case] = time_exact(peers, *case, arguments)
        for peer in peers.values():
            peer.close()
    print_exact(found, cases)


def start_exact(arguments, threads, rows, dim):
    """The systems that could be built here."""
    peers = {}
    for name in arguments.systems:
        peer = Peer(name, arguments, threads)
        facts = peer.build(search_systems.builds(name, rows, dim)[0])
        print(name, facts.get("about", facts.get("error")), flush=True)
        if "error" in facts:
            peer.close()
        else:
            peers[name] = peer
    return peers


def check_exact(peers, request):
    """All find the true best, and both of ours the same ids in the same order."""
    answers = {name: peer.ask("run", check=True, **request) for name, peer in peers.items()}
    for name, answer in answers.items():
        if answer.get("recall", 0) < 1:
            print(f"{name} at {request}: {answer}", flush=True)
    ids = {answers[name]["ids"] for name in OURS if name in answers}
    if len(ids) > 1:
        sys.exit(f"the ids of ours differ at {request}")


def time_exact(peers, size, k, threads, arguments):
    """Best and median seconds of a call; systems take turns, and the queries change with the round."""
    request = dict(which="measure", k=k, setting={}, size=size, threads=threads)
    check_exact(peers, request)
    seconds = {name: [] for name in peers}
    with machine(alone=True):
        began = time.monotonic()
        for turn in range(arguments.rounds if size > 1 else 5 * arguments.rounds):
            for name, peer in peers.items():
                time.sleep(0.05)  # the threads of the one before may still spin, waiting for work
                answer = peer.ask("run", first=turn * size, **request)
                seconds[name].append(answer.get("wall", float("inf")))
            if time.monotonic() - began > arguments.seconds:
                break
    return {name: (min(times), sorted(times)[len(times) // 2]) for name, times in seconds.items()}


def print_exact(found, cases):
    """Milliseconds of a call, best (median); then how many times as long each takes as ours."""
    names = [name for name in EXACT if any(name in found[case] for case in cases)]
    head = " | ".join(f"batch {size}, k {k}, {threads} thr." for size, k, threads in cases)
    print(f"\n| ms a call | {head} |\n|" + "---|" * (len(cases) + 1))
    for name in names:
        cells = (found[case].get(name) for case in cases)
        print(f"| {name} | " + " | ".join(f"{1e3 * c[0]:.2f} ({1e3 * c[1]:.2f})" if c else ""
                                          for c in cells) + " |")
    for ours in OURS:
        print(f"\n| best time / {ours} | {head} |\n|" + "---|" * (len(cases) + 1))
        for name in names:
            if ours in names and name not in OURS:
                print(f"| {name} | " + " | ".join(
                    f"{found[case][name][0] / found[case][ours][0]:.2f}" if name in found[case] else ""
                    for case in cases) + " |")
