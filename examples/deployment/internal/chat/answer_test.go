package chat

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// read follows an answer as a response does, with a pause before each look.
func read(a *answer, offset int, pause func() time.Duration) (text string, end *ending) {
	var b strings.Builder
	for {
		time.Sleep(pause())
		piece, next, end, changed := a.after(offset)
		b.Write(piece)
		if offset = next; end != nil {
			return b.String(), end
		}
		<-changed
	}
}

func TestEveryReaderGetsTheWholeTextAtItsOwnPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswer(nil)
		var want strings.Builder
		var readers sync.WaitGroup
		for i := range 50 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond) // most come later
				slowest := int64(i*i) * int64(time.Millisecond)
				text, end := read(a, 0, func() time.Duration { return time.Duration(rand.Int64N(slowest + 1)) })
				assert.Equal(t, want.String(), text)
				assert.Equal(t, data.Done, end.message.State)
			})
		}
		began := time.Now()
		for i := range 500 {
			piece := strings.Repeat(string(rune('a'+i%26)), i%7) + "é"
			want.WriteString(piece)
			a.add(piece)
			time.Sleep(5 * time.Millisecond)
		}
		assert.Equal(t, 2500*time.Millisecond, time.Since(began), "the slowest holds up nobody")
		a.finish(&ending{message: data.Message{State: data.Done}})
		a.finish(&ending{message: data.Message{State: data.Failed}})
		readers.Wait()
	})
}

func TestAnOffsetIsWhateverAClientSends(t *testing.T) {
	a := newAnswer(nil)
	a.add("aé")
	a.add("日b")
	for _, tt := range []struct {
		name   string
		offset int
		want   string
		next   int
	}{
		{"the beginning", 0, "aé日b", 7},
		{"behind a piece", 3, "日b", 7},
		{"within a character of two bytes", 2, "é日b", 7},
		{"within one of three", 5, "日b", 7},
		{"the end", 7, "", 7},
		{"behind the end: it waits there", 900, "", 900},
	} {
		text, next, end, _ := a.after(tt.offset)
		assert.Equal(t, tt.want, string(text), tt.name)
		assert.Equal(t, tt.next, next, tt.name)
		assert.Nil(t, end)
	}
	e := ended(data.Message{Content: "", State: data.Failed})
	text, _, end, _ := e.after(0)
	assert.Empty(t, text)
	assert.Equal(t, data.Failed, end.message.State)
}

func TestAPartThatAReaderHasDoesNotChange(t *testing.T) {
	a := newAnswer(nil)
	a.add("first")
	text, _, _, _ := a.after(0)
	_ = append(text, "a reader that appends"...)
	a.add(" second")
	assert.Equal(t, "first", string(text))
	assert.Equal(t, "first second", a.String())
}

func TestAnAnswerIsTakenBackOrShownNeverBoth(t *testing.T) {
	for range 2000 {
		a := newAnswer(nil)
		var wg sync.WaitGroup
		var shown, taken bool
		wg.Go(func() { shown = a.show() })
		wg.Go(func() { taken = a.takeBack() })
		wg.Wait()
		if shown == taken {
			t.Fatal(shown, taken)
		}
	}
	a := newAnswer(nil)
	a.add("x")
	assert.False(t, a.takeBack(), "there is text")
}

// BenchmarkAnAnswerWithManyReaders is one piece of text to n readers.
func BenchmarkAnAnswerWithManyReaders(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "100": 100} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			a := newAnswer(nil)
			var readers sync.WaitGroup
			for range n {
				readers.Go(func() { read(a, 0, func() time.Duration { return 0 }) })
			}
			for b.Loop() {
				a.add("piece ")
			}
			a.finish(&ending{})
			readers.Wait()
		})
	}
}
