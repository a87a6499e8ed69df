module caisson/bench/fork-exec

go 1.23
