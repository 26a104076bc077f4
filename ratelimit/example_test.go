package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func Example() {
	limits, err := ratelimit.Parse("2/second; 1000/day")
	if err != nil {
		panic(err)
	}
	limiter, err := ratelimit.New(ratelimit.Config{
		Rules: []ratelimit.Rule{{Name: "per-ip", Limits: limits}},
	})
	if err != nil {
		panic(err)
	}
	handler := limiter.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello")
	}))

	for range 3 {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		fmt.Println(rec.Code, rec.Header().Get("RateLimit"))
	}
	// Output:
	// 200 "per-ip-second";r=1;t=1, "per-ip-day";r=999;t=87
	// 200 "per-ip-second";r=0;t=1, "per-ip-day";r=998;t=87
	// 429 "per-ip-second";r=0;t=1, "per-ip-day";r=998
}
