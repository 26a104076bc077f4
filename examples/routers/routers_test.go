package routers

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const frontend = "https://app.example.com"

func TestEveryRouterAnswersTheSame(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	routers := map[string]func(...func(http.Handler) http.Handler) http.Handler{
		"net/http": Std, "chi": Chi, "alice": Alice, "gorilla": Gorilla, "echo": Echo, "gin": Gin,
	}
	tests := []struct {
		name, method, target, host string
		header                     http.Header
		status                     int
		route                      string // "*" for any: an unknown route has none, or the router's own idea
	}{
		{"a route", "GET", "/api/items/42", "api.example.com", nil, 200, "items"},
		{"an unknown route", "GET", "/api/none", "api.example.com", nil, 404, "*"},
		{"a foreign host", "GET", "/api/items/42", "attacker.example", nil, 400, ""},
		{"an unlisted method", "DELETE", "/api/items/42", "api.example.com", nil, 405, "*"},
		{"a preflight", "OPTIONS", "/api/items/42", "api.example.com", http.Header{
			"Origin": {frontend}, "Access-Control-Request-Method": {"PUT"},
		}, 204, ""},
		{"the second request of one a minute", "GET", "/api/items/42", "api.example.com", http.Header{"Origin": {frontend}}, 429, ""},
	}
	for name, build := range routers {
		for _, tt := range tests {
			t.Run(name+": "+tt.name, func(t *testing.T) {
				var log bytes.Buffer
				stack, err := Stack(slog.New(slog.NewJSONHandler(&log, nil)), 1)
				require.NoError(t, err)
				h := build(stack...)
				if tt.status == 429 {
					require.Equal(t, 200, ask(h, tt.method, tt.target, tt.host, tt.header).StatusCode)
					log.Reset()
				}
				resp := ask(h, tt.method, tt.target, tt.host, tt.header)
				assert.Equal(t, tt.status, resp.StatusCode)
				assert.NotEmpty(t, resp.Header.Get("X-Correlation-ID"))
				assert.NotEmpty(t, resp.Header.Get("Content-Security-Policy"))
				if tt.header != nil {
					assert.Equal(t, frontend, resp.Header.Get("Access-Control-Allow-Origin"))
				}
				if tt.status == 200 {
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					assert.Equal(t, "item 42", string(body))
				}
				var line map[string]any
				require.NoError(t, json.Unmarshal(log.Bytes(), &line), "exactly one line: %s", log.Bytes())
				assert.EqualValues(t, tt.status, line["http.response.status_code"])
				switch tt.route {
				case "*":
				case "":
					assert.Empty(t, line["http.route"])
				default:
					assert.Contains(t, []any{"/api/items/{id}", "/api/items/:id"}, line["http.route"])
				}
			})
		}
	}
}

func TestAnEchoGroupTakesAMiddlewareOfItsOwn(t *testing.T) {
	stack, err := Stack(slog.New(slog.DiscardHandler), 1)
	require.NoError(t, err)
	e := echo.New()
	limited := e.Group("/api", echo.WrapMiddleware(stack[len(stack)-1]))
	limited.GET("/items/:id", func(c echo.Context) error {
		item(c.Response(), c.Param("id"))
		return nil
	})
	assert.Equal(t, 200, ask(e, "GET", "/api/items/1", "api.example.com", nil).StatusCode)
	assert.Equal(t, 429, ask(e, "GET", "/api/items/1", "api.example.com", nil).StatusCode)
}

func TestAGinGroupTakesAMiddlewareOfItsOwn(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	stack, err := Stack(slog.New(slog.DiscardHandler), 1)
	require.NoError(t, err)
	engine := gin.New()
	limited := engine.Group("/api", GinMiddleware(stack[len(stack)-1]))
	limited.GET("/items/:id", func(c *gin.Context) { item(c.Writer, c.Param("id")) })

	assert.Equal(t, 200, ask(engine, "GET", "/api/items/1", "api.example.com", nil).StatusCode)
	resp := ask(engine, "GET", "/api/items/1", "api.example.com", nil)
	assert.Equal(t, 429, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), "item")
}

func ask(h http.Handler, method, target, host string, header http.Header) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}
