package stream

import "sync"

const (
	smallBuffer = 16 << 10
	largeBuffer = 256 << 10
	// At most this many streams use a large buffer at once; the others make do with small ones.
	maxLarge = 32
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
	largeSlots   = make(chan struct{}, maxLarge)
)

func takeBuffer(large bool) ([]byte, func()) {
	if large {
		select {
		case largeSlots <- struct{}{}:
			buffer := largeBuffers.Get().(*[largeBuffer]byte)
			return buffer[:], func() { largeBuffers.Put(buffer); <-largeSlots }
		default:
		}
	}
	buffer := smallBuffers.Get().(*[smallBuffer]byte)
	return buffer[:], func() { smallBuffers.Put(buffer) }
}
