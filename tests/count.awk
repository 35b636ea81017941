# count.awk -- count the single tests in the log of `ctest -V`.
#
#   awk -v build=NAME -f count.awk LOG              one line: NAME passed failed skipped
#   awk -v build=NAME -v details=1 -f count.awk LOG the failed ones, with what they printed, and why
#                                                   others were skipped
#
# Lines of program N start with "N: ". A test counts by the verdict that follows its "[ RUN". One
# without a verdict crashed. A program that failed without a failed test counts as one.

function say(text) { if (details) print "  " text }

function verdict_of(program) { return program in running && running[program] != "" }

function end_of_test(program) { running[program] = ""; delete output[program] }

# "12/30 Test  #7: pool_test ......   Passed    0.01 sec"
/^ *[0-9]+\/[0-9]+ Test +#[0-9]+:/ {
    number = $0; sub(/^[^#]*#/, "", number); sub(/:.*/, "", number)
    name = $0; sub(/^[^:]*: */, "", name); sub(/ .*/, "", name)
    good = $0 ~ /  *Passed  *[0-9.]+ sec/
    if (verdict_of(number)) {
        failed++; failures[number]++
        say("FAILED " name ": " running[number] " (crashed or ran out of time)")
        if (details) printf "%s", output[number]
    }
    if (!good && !failures[number]) {
        failed++
        say("FAILED " name ": the program failed outside of its tests")
        if (details) printf "%s", last[number]
    }
    if (good && empty[number]) {
        failed++
        say("FAILED " name ": the program ran no test")
    } else if (good && !counted[number]) {
        passed++ # a program that is one test
    }
    next
}

/^[0-9]+: / {
    number = $1; sub(/:$/, "", number)
    text = substr($0, length($1) + 2)
    if (text ~ /^\[ RUN /) {
        running[number] = text; sub(/^\[[^]]*\] */, "", running[number])
        output[number] = ""
        next
    }
    if (text ~ /^\[==========\] Running 0 test/) empty[number] = 1
    last[number] = last[number] "    " text "\n"
    if (length(last[number]) > 4000) last[number] = substr(last[number], 2000)
    if (!verdict_of(number)) next
    if (text ~ /^\[       OK \]/) {
        passed++; counted[number]++; end_of_test(number)
    } else if (text ~ /^\[  SKIPPED \]/) {
        skipped++; counted[number]++
        say("SKIPPED " running[number]); if (details) printf "%s", output[number]
        end_of_test(number)
    } else if (text ~ /^\[  FAILED  \]/ || text ~ /^\[  ERROR   \] --- / ) {
        if (text ~ /ERROR/) { output[number] = output[number] "    " text "\n"; next }
        failed++; failures[number]++; counted[number]++
        say("FAILED " running[number]); if (details) printf "%s", output[number]
        end_of_test(number)
    } else {
        output[number] = output[number] "    " text "\n"
    }
}

END { if (!details) print build, passed + 0, failed + 0, skipped + 0 }
