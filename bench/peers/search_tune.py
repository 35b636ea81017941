"""Settings of each system: for each k and recall the fastest that reaches it on some users."""

import search_systems
from search_peer import KS, TARGETS, Peer, cache_file, fastest, machine, save, shape

NEAR = 1.25   # a setting that takes longer than the fastest by this factor is not refined
HALVINGS = 2  # of the step between a setting that misses a recall and the next, which reaches it


def run(tuning, k, build, setting):
    """One setting on the users for choosing, kept in `tuning.found`; None if the system fails."""
    peer = tuning["peer"]
    answer = peer.ask("run", which="choose", k=k, setting=setting, check=True)
    if "error" in answer:
        print(f"{peer.name} {setting}: {answer['error']}", flush=True)
        return None
    if answer["cpu"] < 0.002:
        again = peer.ask("run", which="choose", k=k, setting=setting)
        answer["cpu"] = min(answer["cpu"], again["cpu"])
    answer.update(k=k, build=build, setting=setting, facts=peer.facts)
    tuning["found"].append(answer)
    return answer


def climb(tuning, k, build, walk):
    """The settings of a walk, effort rising, until one reaches the highest recall, or more effort
    finds no more, or takes longer than what reached the highest recall already."""
    done = []
    for setting in walk:
        answer = run(tuning, k, build, setting)
        if answer is None:
            break
        done.append(answer)
        best = fastest(tuning["found"], k, TARGETS[-1])
        stuck = len(done) > 3 and answer["recall"] - done[-4]["recall"] < 0.0005
        if stuck or (best is not None and answer["cpu"] >= best["cpu"]):
            break
    return done


def between(low, high):
    """The setting halfway, or None: the first of its numbers is the one that a walk raises."""
    name = next(name for name in low if low[name] != high[name])
    middle = (low[name] + high[name]) / 2
    if isinstance(low[name], int):
        middle = int(middle)
    return dict(low, **{name: middle}) if middle != low[name] else None


def refine(tuning, k, build, done, target):
    """Halve the step of a walk at which it reaches the target, where that may be the fastest."""
    for low, high in zip(done, done[1:]):
        if not low["recall"] < target <= high["recall"]:
            continue
        for _ in range(HALVINGS):
            setting = between(low["setting"], high["setting"])
            if setting is None or high["cpu"] > NEAR * fastest(tuning["found"], k, target)["cpu"]:
                break
            answer = run(tuning, k, build, setting)
            if answer is None:
                break
            low, high = (low, answer) if answer["recall"] >= target else (answer, high)


def tune_build(tuning, build, rows):
    peer = tuning["peer"]
    facts = peer.build(build)
    if "error" in facts:
        print(f"{peer.name} {build}: {facts['error']}", flush=True)
        return
    print(f"{peer.name} {build}: built in {facts['cpu']:.1f} s of the processor, "
          f"{facts['mb']:.0f} MB, {facts['about']}", flush=True)
    for k in KS:
        walks = [climb(tuning, k, build, walk)
                 for walk in search_systems.settings(peer.name, rows, build, k)]
        for target in TARGETS:
            for done in walks:
                refine(tuning, k, build, done, target)


def check_chosen(tuning):
    """What is chosen, on the users that it was not chosen with."""
    peer = tuning["peer"]
    for k in KS:
        for target in TARGETS:
            pick = fastest(tuning["found"], k, target)
            if pick is None:
                print(f"{peer.name} k={k} {target:.2f}: not reached", flush=True)
                continue
            peer.build(pick["build"])
            pick["held_out"] = peer.ask("run", which="measure", k=k, setting=pick["setting"],
                                        check=True)["recall"]
            print(f"{peer.name} k={k} {target:.2f}: {1 / pick['cpu']:.0f} queries/s, recall "
                  f"{pick['recall']:.4f}, of others {pick['held_out']:.4f}, "
                  f"{pick['build']} {pick['setting']}", flush=True)


def check_targets(tuning, build):
    """What ours delivers for a target, on users that calibration has not seen."""
    peer, out = tuning["peer"], {}
    peer.build(build)
    for k in KS:
        for target in TARGETS:
            answer = peer.ask("run", which="measure", k=k, setting={"target-recall": target},
                              check=True)
            out[f"{k} {target}"] = answer["recall"]
            print(f"{peer.name} k={k}, target {target:.2f}: delivered {answer['recall']:.4f}", flush=True)
    return out


def tune(arguments):
    for name in arguments.systems:
        tuning = {"peer": Peer(name, arguments), "found": []}
        rows, dim = shape(arguments.items)
        with machine(alone=False):
            for build in search_systems.builds(name, rows, dim)[:arguments.builds]:
                tune_build(tuning, build, rows)
                save(cache_file(arguments, "tuned/" + name), tuning["found"])
            check_chosen(tuning)
            if name == "tandem":
                delivered = check_targets(tuning, search_systems.builds(name, rows, dim)[0])
                save(cache_file(arguments, "delivered/tandem"), delivered)
        save(cache_file(arguments, "tuned/" + name), tuning["found"])
        tuning["peer"].close()
