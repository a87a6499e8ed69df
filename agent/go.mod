module caisson/agent

go 1.23.0

require (
	connectrpc.com/connect v1.18.1
	github.com/creack/pty v1.1.24
	github.com/dlclark/regexp2 v1.11.5
	golang.org/x/net v0.38.0
	golang.org/x/sys v0.31.0
	google.golang.org/protobuf v1.36.6
)

require (
	github.com/google/go-cmp v0.6.0 // indirect
	golang.org/x/text v0.23.0 // indirect
)
