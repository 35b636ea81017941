"""The chosen settings of all systems in turn, on users that they were not chosen with."""

import json
import os
import time

from search_peer import Peer, cache_file, fastest, machine, save, saved, shape

SCANN = ("scann", "scann-core")
MODES = {"batch": "whole set", "one": "one a call"}


def candidates(arguments, k, target):
    """The setting of each system that reached the recall. Those that were slower than the fastest by
    more than --near in choosing are left out, but never ours or ScaNN, which is the rival."""
    picks = {name: pick for name in arguments.systems
             if (pick := fastest(saved(cache_file(arguments, "tuned/" + name), []), k, target))}
    least = min((pick["cpu"] for pick in picks.values()), default=0)
    return {name: pick for name, pick in picks.items()
            if pick["cpu"] <= arguments.near * least or name == "tandem" or name in SCANN}


def time_rounds(peers, picks, k, arguments):
    """Seconds a query and latencies of each round; the systems take turns."""
    seconds, singles = {name: [] for name in picks}, {name: [] for name in picks}
    threads, clock = arguments.threads[0], "cpu" if arguments.threads[0] == 1 else "wall"
    for name, pick in picks.items():
        peers[name].build(pick["build"])
    began = time.monotonic()
    for _ in range(arguments.rounds):
        for name, pick in picks.items():
            request = dict(which="measure", k=k, setting=pick["setting"])
            seconds[name].append(peers[name].ask("run", threads=threads, **request)[clock])
            if threads == 1:
                singles[name].append(peers[name].ask("run", mode="one", **request)["times"])
        if time.monotonic() - began > arguments.seconds:
            break
    return seconds, singles


def measure_one(peers, picks, k, arguments):
    """The same users through each system; the best round counts (of a single query too)."""
    seconds, singles = time_rounds(peers, picks, k, arguments)
    out = {}
    for name, pick in picks.items():
        queries = 1 if arguments.threads[0] == 1 else 1000
        out[name] = {"batch": queries / min(seconds[name]), "recall": pick["held_out"],
                     "facts": peers[name].facts, "build": pick["build"], "setting": pick["setting"]}
        if singles[name]:
            latency = sorted(min(times) for times in zip(*singles[name]))
            out[name].update(one=len(latency) / sum(latency), p50=1e6 * latency[len(latency) // 2],
                             p99=1e6 * latency[len(latency) * 99 // 100])
    return out


def measured_file(arguments):
    return cache_file(arguments, f"measured/{arguments.threads[0]}")


def measure(arguments):
    """Adds to what was measured before: a long measurement may be made in pieces."""
    cases = {(k, target): candidates(arguments, k, target)
             for k in arguments.k for target in arguments.targets}
    peers = {name: Peer(name, arguments, arguments.threads[0])
             for name in arguments.systems if any(name in picks for picks in cases.values())}
    found = saved(measured_file(arguments), {})
    with machine(alone=True):
        print(f"load {os.getloadavg()[0]:.1f}", flush=True)
        for (k, target), picks in cases.items():
            found[f"{k} {target}"] = measure_one(peers, picks, k, arguments)
            save(measured_file(arguments), found)
    for peer in peers.values():
        peer.close()
    report(arguments)


# --- tables


def rivals(out, mode):
    """ScaNN's best, the best of the rest: (name, queries a second)."""
    for group in (SCANN, [name for name in out if name not in SCANN + ("tandem",)]):
        best = max((name for name in group if mode in out.get(name, {})),
                   key=lambda name: out[name][mode], default=None)
        yield (best, out[best][mode]) if best else None


def print_short(found, mode):
    print(f"\n{MODES[mode]}, queries/s:\n\n| k | target | ours (recall) | best ScaNN (recall) | ratio | "
          "best other (recall) | ratio |\n|" + "---|" * 7)
    for case, out in found.items():
        ours = out.get("tandem", {})
        if mode not in ours:
            continue
        cells = [f"{ours[mode]:.0f} ({ours['recall']:.4f})"]
        for best in rivals(out, mode):
            cells += ([f"{best[0]} {best[1]:.0f} ({out[best[0]]['recall']:.4f})",
                       f"{ours[mode] / best[1]:.2f}"] if best else ["none reached it", ""])
        print(f"| {case.replace(' ', ' | ')} | " + " | ".join(cells) + " |")


def print_long(found):
    print("\n| k | target | system | recall | queries/s, whole set | one a call | p50 us | p99 us | "
          "build s | MB | loaded MB | file MB | how |\n|" + "---|" * 13)
    for case, out in found.items():
        for name, run in sorted(out.items(), key=lambda item: -item[1]["batch"]):
            facts = run["facts"]
            print(f"| {case.replace(' ', ' | ')} | {name} | {run['recall']:.4f} | {run['batch']:.0f} | "
                  f"{run.get('one', 0):.0f} | {run.get('p50', 0):.1f} | {run.get('p99', 0):.1f} | "
                  f"{facts['cpu']:.1f} | {facts['mb']:.0f} | {facts.get('loaded_mb', 0):.0f} | "
                  f"{facts.get('file_mb', 0):.0f} | "
                  f"{json.dumps(run['build'])} {json.dumps(run['setting'])} |")


def report(arguments):
    found = saved(measured_file(arguments), {})
    print(f"{os.path.basename(arguments.items)} {shape(arguments.items)}, "
          f"threads: {arguments.threads[0]}")
    print_long(found)
    for mode in MODES:
        print_short(found, mode)
    delivered = saved(cache_file(arguments, "delivered/tandem"), {})
    print("\ndelivered for a target (k, target: recall): " +
          "; ".join(f"{case}: {recall:.4f}" for case, recall in delivered.items()))
