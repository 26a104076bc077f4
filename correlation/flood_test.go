package correlation_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// answering answers with the status that the path names.
func answering(w http.ResponseWriter, r *http.Request) {
	status, _ := strconv.Atoi(r.URL.Path[1:])
	w.WriteHeader(status)
}

// flooded is a server with a log, in fake time.
func flooded(t *testing.T, lines int) (m *correlation.Middleware, ask func(path string, n int), l *logs) {
	l, logger := newLogs()
	m = build(t, correlation.Config{Logger: logger, ClientErrorLines: lines})
	h := m.Handler(http.HandlerFunc(answering))
	return m, func(path string, n int) {
		for range n {
			h.ServeHTTP(httptest.NewRecorder(), get(path))
		}
	}, l
}

// sums are the summed lines.
func sums(all []map[string]any) (out []map[string]any) {
	for _, line := range all {
		if line["summed"] != nil {
			out = append(out, line)
		}
	}
	return out
}

func TestAFloodOf4xxIsSummedIntoOneLineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ask, l := flooded(t, 10)
		ask("/404", 1000)
		assert.Len(t, l.lines(t), 10)
		time.Sleep(999 * time.Millisecond)
		ask("/404", 1000)
		assert.Len(t, l.lines(t), 10, "the second is not over")
		time.Sleep(time.Millisecond)
		ask("/404", 1000)
		lines := l.lines(t)
		assert.Len(t, lines, 21)
		assert.EqualValues(t, 1990, lines[10]["summed"], "the sum goes before the lines of the next second")
		m.Flush()
		m.Flush()
		s := sums(l.lines(t))
		assert.Len(t, s, 2)
		assert.EqualValues(t, 990, s[1]["summed"])
		delete(s[1], "time")
		assert.Equal(t, map[string]any{
			"level": "WARN", "msg": "requests without a line of their own", "summed": 990.0, "http.response.status_code": 404.0,
		}, s[1], "it belongs to no request, so it has no ID")
	})
}

func TestAnyRequestWritesTheSumThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ask, l := flooded(t, 1)
		ask("/429", 5)
		time.Sleep(time.Hour)
		ask("/200", 1)
		lines := l.lines(t)
		assert.Len(t, lines, 3)
		assert.EqualValues(t, 4, lines[1]["summed"])
		assert.EqualValues(t, 200, lines[2]["http.response.status_code"])
		time.Sleep(time.Hour)
		ask("/200", 1)
		assert.Len(t, l.lines(t), 4, "a sum is written once")
	})
}

func TestASumOfSeveralStatusesNamesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ask, l := flooded(t, 1)
		ask("/400", 3)
		ask("/429", 5)
		ask("/499", 1)
		m.Flush()
		s := sums(l.lines(t))[0]
		assert.EqualValues(t, 8, s["summed"])
		assert.EqualValues(t, 429, s["http.response.status_code"])
		assert.Equal(t, map[string]any{"400": 2.0, "429": 5.0, "499": 1.0}, s["summed_by_status"])
	})
}

func TestOnlyClientErrorsAreSummed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ask, l := flooded(t, 1)
		ask("/404", 3)
		for _, status := range []string{"/200", "/302", "/500", "/503"} {
			ask(status, 200)
		}
		assert.Len(t, l.lines(t), 1+800)
	})
}

func TestTheDefaultIsAHundredLinesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, ask, l := flooded(t, 0)
		for range 3 {
			ask("/404", 1000)
			time.Sleep(time.Second)
		}
		ask("/200", 1)
		assert.Len(t, l.lines(t), 3*(100+1)+1)
	})
}

func TestNoAnswerIsLostInAFloodFromManyClients(t *testing.T) {
	m, ask, l := flooded(t, 10)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { ask("/404", 500) })
	}
	wg.Wait()
	m.Flush()
	total := 0
	for _, line := range l.lines(t) {
		if n, ok := line["summed"].(float64); ok {
			total += int(n)
		} else {
			total++
		}
	}
	assert.Equal(t, 16*500, total)
}
