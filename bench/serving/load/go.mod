module caisson/bench/load

go 1.23
