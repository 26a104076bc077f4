package correlation_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// exampleLogger writes lines without what changes from run to run.
func exampleLogger() *slog.Logger {
	changing := map[string]bool{"time": true, "duration": true, "ttfb": true, "request_id": true}
	return slog.New(correlation.NewLogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if changing[a.Key] {
				return slog.Attr{}
			}
			return a
		},
	})))
}

func Example() {
	log := exampleLogger()
	ids, err := correlation.New(correlation.Config{Logger: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		correlation.SetUser(r.Context(), "u-17")
		log.InfoContext(r.Context(), "looking it up")
		fmt.Fprintln(w, "item", r.PathValue("id"))
	})

	req := httptest.NewRequest("GET", "/items/42?token=secret", nil)
	req.Header.Set("X-Correlation-ID", "checkout-7f3a")
	rec := httptest.NewRecorder()
	ids.Handler(mux).ServeHTTP(rec, req)
	fmt.Println(rec.Code, rec.Header().Get("X-Correlation-ID"))

	// Output:
	// level=INFO msg="looking it up" correlation_id=checkout-7f3a
	// level=INFO msg=request correlation_id=checkout-7f3a http.request.method=GET url.path=/items/42 http.route=/items/{id} http.response.status_code=200 http.response.body.size=8 client.address=192.0.2.1 user.id=u-17
	// 200 checkout-7f3a
}

// All mistakes come back at once.
func ExampleNew_mistakes() {
	_, err := correlation.New(correlation.Config{
		Header:      "Set-Cookie",
		LogHeaders:  []string{"User-Agent", "Authorization"},
		PropagateTo: []string{"https://api.internal/"},
	})
	fmt.Println(err)
	// Output:
	// correlation: Header "Set-Cookie": has a meaning of its own; use a name like "X-Correlation-ID"
	// correlation: LogHeaders[1] "Authorization": carries credentials and is never logged; log who the user is with SetUser
	// correlation: PropagateTo[0] "https://api.internal/": has a scheme or a path; give a host alone, like "api.internal" or "api.internal:8080"
}

// A queue's consumer takes up the ID of the request that sent the message.
func ExampleNewContext() {
	log := exampleLogger()
	ctx, err := correlation.NewContext(context.Background(), "checkout-7f3a")
	if err != nil {
		log.Warn("message without a usable ID") // ctx is then the one given
	}
	log.WithGroup("mail").InfoContext(ctx, "sent", "to", 3)
	// Output:
	// level=INFO msg=sent correlation_id=checkout-7f3a mail.to=3
}

// The ID goes to the listed hosts and to no other.
func ExampleMiddleware_Transport() {
	ids, err := correlation.New(correlation.Config{PropagateTo: []string{"api.internal"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	show := roundTripper(func(r *http.Request) (*http.Response, error) {
		fmt.Printf("%s gets %q\n", r.URL.Host, r.Header.Get("X-Correlation-ID"))
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	})
	client := &http.Client{Transport: ids.Transport(show)}
	ctx, _ := correlation.NewContext(context.Background(), "checkout-7f3a")
	for _, url := range []string{"http://api.internal/stock", "https://payments.example/charge"} {
		req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	// Output:
	// api.internal gets "checkout-7f3a"
	// payments.example gets ""
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
