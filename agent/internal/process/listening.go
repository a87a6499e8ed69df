package process

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

const (
	firstLook = 20 * time.Millisecond
	slowLook  = 100 * time.Millisecond
)

// WaitListening answers with the first TCP port that the process or a descendant listens on, or with 0 when it ended.
func (t *Table) WaitListening(ctx context.Context, request *connect.Request[agentv1.WaitListeningRequest]) (*connect.Response[agentv1.WaitListeningResponse], error) {
	process, err := t.find(request.Msg.Pid)
	if err != nil {
		return nil, err
	}
	pause := firstLook
	for {
		select {
		case <-process.done:
			return connect.NewResponse(&agentv1.WaitListeningResponse{}), nil
		default:
		}
		if port := listeningPort(t.members(process)); port != 0 {
			return connect.NewResponse(&agentv1.WaitListeningResponse{Port: uint32(port)}), nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-process.done:
			timer.Stop()
			return connect.NewResponse(&agentv1.WaitListeningResponse{}), nil
		case <-ctx.Done():
			timer.Stop()
			return nil, failure.From(ctx.Err())
		case <-timer.C:
		}
		pause = min(pause+pause/8, slowLook)
	}
}
