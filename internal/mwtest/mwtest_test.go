package mwtest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// config is that of the middleware under test: it refuses the methods in refuse.
type config struct{ refuse []string }

var refusal = problem.New(http.StatusMethodNotAllowed, "", "Method Not Allowed", "", nil)

// good is what a middleware should be: it sets headers of its own, refuses some
// requests, and copies its Config.
func good(c config) mwtest.Middleware {
	refuse := slices.Clone(c.refuse)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			headervalue.AddVary(w.Header(), "Origin")
			w.Header()["X-Own"] = []string{"1"}
			if slices.Contains(refuse, r.Method) {
				refusal.Write(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// around makes a middleware of the good one and what happens around next.
func around(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(config) mwtest.Middleware {
	return func(c config) mwtest.Middleware {
		return func(next http.Handler) http.Handler {
			return good(c)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) }))
		}
	}
}

// outside makes a middleware of what happens before the good one.
func outside(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(config) mwtest.Middleware {
	return func(c config) mwtest.Middleware {
		return func(next http.Handler) http.Handler {
			inner := good(c)(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, inner) })
		}
	}
}

type counter struct{ respwriter.Writer }

func (*counter) Commit(int) {}

// The ways to be a bad wrapper.
type (
	bare    struct{ http.ResponseWriter } // hides everything
	flusher struct{ http.ResponseWriter } // no Hijacker, no ReaderFrom
	unwraps struct{ http.ResponseWriter } // deadlines only
	upper   struct{ http.ResponseWriter } // changes the body
)

func (f flusher) Flush()                      { f.ResponseWriter.(http.Flusher).Flush() }
func (f flusher) Unwrap() http.ResponseWriter { return f.ResponseWriter }
func (u unwraps) Unwrap() http.ResponseWriter { return u.ResponseWriter }
func (u upper) Write(p []byte) (int, error) {
	return io.WriteString(u.ResponseWriter, strings.ToUpper(string(p)))
}
func (u upper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

var shared = []string{"shared"}

const (
	once        = "next is called once, and never for a rejected request"
	transparent = "status, body and headers of next arrive unchanged"
	controller  = "a real server's flush, hijack, sendfile and deadlines stay reachable"
	slice       = "no header slice is shared between requests"
	vary        = "Vary is added to, never replaced"
	abort       = "http.ErrAbortHandler passes through"
	copied      = "a changed Config changes nothing"
	concurrent  = "64 goroutines"
)

// broken are middlewares with one fault each, and the checks that must see it.
var broken = map[string]struct {
	mw    func(config) mwtest.Middleware
	fails []string
	race  bool // under the race detector, 64 goroutines fail too
}{
	"good": {mw: good},
	"good wrapper": {mw: outside(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		c := &counter{}
		c.Init(w, c)
		next.ServeHTTP(c.View(), r)
	})},
	"calls next twice": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r)
			next.ServeHTTP(w, r)
		}),
		fails: []string{once, transparent, controller},
	},
	"never calls next": {
		mw:    around(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusTeapot) }),
		fails: []string{once, transparent, controller, vary, abort},
	},
	"calls next after a refusal": {
		mw: func(c config) mwtest.Middleware {
			check := good(c)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					check.ServeHTTP(w, r)
					next.ServeHTTP(w, r)
				})
			}
		},
		fails: []string{once},
	},
	"refuses nothing": {
		mw:    func(config) mwtest.Middleware { return good(config{}) },
		fails: []string{once, copied},
	},
	"changes the status": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusOK)
			next.ServeHTTP(w, r)
		}),
		fails: []string{once, transparent, controller},
	},
	"changes the body": {
		mw:    around(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(upper{w}, r) }),
		fails: []string{transparent, controller},
	},
	"changes the method": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
			next.ServeHTTP(w, r)
		}),
		fails: []string{transparent},
	},
	"removes a header": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r)
			w.Header().Del("Etag")
		}),
		fails: []string{transparent},
	},
	"hides the writer": {
		mw:    around(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(bare{w}, r) }),
		fails: []string{controller},
	},
	"hides Hijacker and ReaderFrom": {
		mw:    around(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(flusher{w}, r) }),
		fails: []string{controller},
	},
	"leaves Unwrap alone": {
		mw:    around(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(unwraps{w}, r) }),
		fails: []string{controller},
	},
	"shares a slice": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header()["X-Shared"] = shared
			next.ServeHTTP(w, r)
		}),
		fails: []string{slice},
		race:  true,
	},
	"shares a slice of its refusals": {
		mw: outside(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPut {
				w.Header()["X-Shared"] = shared
			}
			next.ServeHTTP(w, r)
		}),
		fails: []string{slice},
	},
	"leaves room behind a value": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			v := []string{"a", "b"}
			w.Header()["X-A"], w.Header()["X-B"] = v[:1], v[1:]
			next.ServeHTTP(w, r)
		}),
		fails: []string{slice},
	},
	"replaces Vary": {
		mw: outside(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Vary", "Accept")
			next.ServeHTTP(w, r)
		}),
		fails: []string{vary},
	},
	"replaces Vary afterwards": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(w, r)
			w.Header().Set("Vary", "X-Outer")
		}),
		fails: []string{vary},
	},
	"replaces Vary of its refusals": {
		mw: outside(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPut {
				w.Header().Del("Vary")
			}
			next.ServeHTTP(w, r)
		}),
		fails: []string{vary},
	},
	"swallows every panic": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			defer func() { _ = recover() }()
			next.ServeHTTP(w, r)
		}),
		fails: []string{abort},
	},
	"changes the panic": {
		mw: around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			defer func() {
				if v := recover(); v != nil {
					panic(fmt.Sprint("handler: ", v))
				}
			}()
			next.ServeHTTP(w, r)
		}),
		fails: []string{abort},
	},
	"keeps the caller's Config": {
		mw: func(c config) mwtest.Middleware {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { good(c)(next).ServeHTTP(w, r) })
			}
		},
		fails: []string{copied},
	},
	"counts without a lock": {
		mw: func(c config) mwtest.Middleware {
			n := 0
			return around(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				n++
				next.ServeHTTP(w, r)
			})(c)
		},
		race: true,
	},
}

const childEnv = "MWTEST_BROKEN"

// TestChild is the suite on one middleware of the table, run by
// TestTheSuiteSeesEveryFault in a process of its own, since it is to fail.
func TestChild(t *testing.T) {
	name := os.Getenv(childEnv)
	if name == "" {
		t.Skip("runs only inside TestTheSuiteSeesEveryFault")
	}
	mwtest.Run(t, suite(broken[name].mw))
}

func suite(mw func(config) mwtest.Middleware) mwtest.Suite {
	return mwtest.Suite{
		New: func(testing.TB) (mwtest.Middleware, func()) {
			refuse := []string{http.MethodPut}
			return mw(config{refuse: refuse}), func() { refuse[0] = http.MethodGet }
		},
		Reject: func() *http.Request {
			r, _ := http.NewRequest(http.MethodPut, "http://127.0.0.1/", nil)
			return r
		},
	}
}

func TestAGoodMiddlewarePasses(t *testing.T) {
	for _, name := range []string{"good", "good wrapper"} {
		t.Run(name, func(t *testing.T) { mwtest.Run(t, suite(broken[name].mw)) })
	}
	t.Run("one that does nothing, with all defaults", func(t *testing.T) {
		mwtest.Run(t, mwtest.Suite{New: func(testing.TB) (mwtest.Middleware, func()) {
			return func(next http.Handler) http.Handler { return next }, nil
		}})
	})
}

var reFailed = regexp.MustCompile(`(?m)^    --- FAIL: TestChild/([^/\n]+) \(`)

func TestTheSuiteSeesEveryFault(t *testing.T) {
	seen := map[string]bool{}
	for name, c := range broken {
		if c.race {
			seen[concurrent] = true
			if raceEnabled {
				c.fails = append(slices.Clone(c.fails), concurrent)
			}
		}
		for _, check := range c.fails {
			seen[check] = true
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestChild$", "-test.v", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), childEnv+"="+name)
			out, err := cmd.CombinedOutput()
			var failed []string
			for _, m := range reFailed.FindAllStringSubmatch(string(out), -1) {
				failed = append(failed, strings.ReplaceAll(m[1], "_", " "))
			}
			assert.ElementsMatch(t, c.fails, failed, "%s", out)
			if len(c.fails) > 0 {
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit, "the process must fail")
			} else {
				assert.NoError(t, err)
			}
		})
	}
	for _, check := range []string{once, transparent, controller, slice, vary, abort, copied, concurrent} {
		assert.True(t, seen[check], "no fault shows that %q can fail", check)
	}
}
