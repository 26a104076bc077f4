package problem_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

func write(p *problem.Problem, method string, have http.Header) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	maps.Copy(rec.Header(), have)
	p.Write(rec, httptest.NewRequest(method, "http://attacker.example/<script>", nil))
	return rec
}

func TestTheBodyIsRFC9457(t *testing.T) {
	for _, c := range []struct {
		p    *problem.Problem
		want string
	}{
		{problem.New(400, "", "Bad Request", "", nil), `{"title":"Bad Request","status":400}`},
		{
			problem.New(429, "https://iana.org/assignments/http-problem-types#quota-exceeded", "Too Many Requests", "Try later.",
				map[string]any{"violated-policies": []string{"minute"}, "a": 1}),
			`{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too Many Requests","status":429,"detail":"Try later.","a":1,"violated-policies":["minute"]}`,
		},
		{problem.New(400, "", `a"<b>`, "c\nd", nil), `{"title":"a\"\u003cb\u003e","status":400,"detail":"c\nd"}`},
	} {
		rec := write(c.p, http.MethodGet, nil)
		assert.Equal(t, c.want+"\n", rec.Body.String())
		assert.Equal(t, http.Header{
			"Content-Type":           {"application/problem+json"},
			"Content-Length":         {strconv.Itoa(len(c.want) + 1)},
			"X-Content-Type-Options": {"nosniff"},
			"Cache-Control":          {"no-store"},
		}, rec.Header(), "these and nothing more")
	}
}

func TestHEADGetsTheHeadersAlone(t *testing.T) {
	p := problem.New(400, "", "Bad Request", "", nil)
	get, head := write(p, http.MethodGet, nil), write(p, http.MethodHead, nil)
	assert.Equal(t, get.Code, head.Code)
	assert.Equal(t, get.Header(), head.Header())
	assert.Zero(t, head.Body.Len())
}

func TestHeadersOfTheAnswerThatIsNotSentGoAndTheOthersStay(t *testing.T) {
	entity := http.Header{}
	for _, name := range []string{
		"Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Range", "Content-Disposition",
		"Accept-Ranges", "ETag", "Last-Modified", "Expires", "Cache-Control", "Trailer", "Transfer-Encoding", "Content-Type",
	} {
		entity.Set(name, "of another answer")
	}
	kept := http.Header{"Vary": {"Origin"}, "Content-Security-Policy": {"default-src 'self'"}, "X-Correlation-Id": {"1"}, "Retry-After": {"2"}}
	maps.Copy(entity, kept)
	rec := write(problem.New(503, "", "Service Unavailable", "", nil), http.MethodGet, entity)
	for name, v := range kept {
		assert.Equal(t, v, rec.Header()[name])
	}
	for name, v := range rec.Header() {
		assert.NotContains(t, v, "of another answer", name)
	}
	assert.Len(t, rec.Header(), len(kept)+4)
	assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
}

func TestTwoAnswersShareNothing(t *testing.T) {
	p := problem.New(400, "", "Bad Request", "", nil)
	first, second := write(p, http.MethodGet, nil), write(p, http.MethodGet, nil)
	for name, v := range first.Header() {
		assert.Equal(t, len(v), cap(v), name)
		v[0] = "changed"
		assert.NotEqual(t, "changed", second.Header().Get(name), name)
	}
}

func TestAnAnswerCostsItsHeadersAndNoMore(t *testing.T) {
	p := problem.New(400, "", "Bad Request", "", nil)
	w := &discard{h: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { p.Write(w, r) }), 1.0)
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
