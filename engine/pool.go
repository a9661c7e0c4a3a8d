package engine

import "sync"

// Sizes of chunks in bytes. A connection's first chunk is the smallest that does, so that a message
// to 10,000 connections takes 5 MB and not 320; what follows it comes in the next larger size.
const (
	chunkSmall  = 512
	chunkMiddle = 4 << 10
	chunkLarge  = 32 << 10
)

// Those above chunkLarge are for half messages only.
var chunkSizes = [...]int{chunkSmall, chunkMiddle, chunkLarge, 64 << 10, 128 << 10, 256 << 10}

var chunkPools [len(chunkSizes)]sync.Pool

// A chunk is a piece of pending output, or the input that a session has not used yet: buf[r:w].
type chunk struct {
	next  *chunk
	r, w  int
	class int // index into chunkSizes; len(chunkSizes) for one made to measure
	buf   []byte
}

// takeChunk returns an empty chunk of the smallest size that holds n bytes. Above the largest size
// it is made to measure and not pooled.
func takeChunk(n int) *chunk {
	for class, size := range chunkSizes {
		if n <= size {
			if k, _ := chunkPools[class].Get().(*chunk); k != nil {
				return k
			}
			return &chunk{class: class, buf: make([]byte, size)}
		}
	}
	return &chunk{class: len(chunkSizes), buf: make([]byte, n)}
}

// free gives k back. Nobody may hold a slice of it any more.
func (k *chunk) free() {
	if k.class == len(chunkSizes) {
		return
	}
	k.next, k.r, k.w = nil, 0, 0
	chunkPools[k.class].Put(k)
}

// freeChunks gives back k and all behind it.
func freeChunks(k *chunk) {
	for k != nil {
		next := k.next
		k.free()
		k = next
	}
}
