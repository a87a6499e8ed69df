module caisson/bench/raw-port

go 1.23
