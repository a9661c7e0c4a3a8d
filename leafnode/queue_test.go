package leafnode

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// put appends a frame.
func (q *queue) put(frame []byte) { q.added(append(q.room(len(frame)), frame...)) }

// TestAQueueIsAListOfFrames compares it with the simplest one, over random operations.
func TestAQueueIsAListOfFrames(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	var q queue
	var model [][]byte
	bytesOf := func() (n int) {
		for _, f := range model {
			n += len(f) + frameBytes
		}
		return n
	}
	frame := func() []byte {
		n := 1 + r.IntN(2000)
		if r.IntN(50) == 0 {
			n = blockBytes - 1 + r.IntN(3*blockBytes)
		}
		return bytes.Repeat([]byte{byte(r.IntN(256))}, n)
	}
	for range 20_000 {
		switch r.IntN(5) {
		case 0, 1, 2:
			f := frame()
			q.put(f)
			model = append(model, f)
		case 3:
			q.drop()
			if len(model) > 0 {
				model = model[1:]
			}
		default:
			most, atLeastOne := r.IntN(2*blockBytes), r.IntN(2) == 0
			got, msgs := q.peek(most, atLeastOne)
			want := bytes.Join(model[:msgs], nil)
			switch {
			case !bytes.Equal(got, want):
				t.Fatalf("%d frames in %d bytes are not the oldest", msgs, len(got))
			case len(got) > most && !(atLeastOne && msgs == 1):
				t.Fatalf("%d bytes where %d were asked for", len(got), most)
			case msgs == 0 && len(model) > 0 && (atLeastOne || len(model[0]) <= most):
				t.Fatalf("nothing, but a frame of %d bytes fits into %d", len(model[0]), most)
			}
			if msgs > 0 {
				q.took(len(got), msgs)
				model = model[msgs:]
			}
		}
		if q.msgs != len(model) || q.bytes != bytesOf() {
			t.Fatalf("%d frames, %d bytes; want %d, %d", q.msgs, q.bytes, len(model), bytesOf())
		}
		if (q.head == nil) != (len(model) == 0) || (q.tail == nil) != (len(model) == 0) {
			t.Fatal("it holds a block although it is empty, or none although it is not")
		}
	}
	if n := q.clear(); n != len(model) || q.head != nil || q.bytes != 0 || q.msgs != 0 {
		t.Errorf("clear has taken %d, want %d, and nothing left", n, len(model))
	}
}

func TestAnEmptyQueueTakesFramesWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	var q queue
	frame := make([]byte, 100)
	turn := func() {
		for range 10 {
			q.put(frame)
		}
		for q.head != nil {
			got, msgs := q.peek(batchBytes, true)
			q.took(len(got), msgs)
		}
	}
	turn()
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
