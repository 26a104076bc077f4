package routers

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
)

// Gin stands inside the stack: its handlers need a writer of gin's own kind, so a
// middleware that wraps the writer (the access log) cannot run within.
func Gin(stack ...func(http.Handler) http.Handler) http.Handler {
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.Use(ginRoute)
	engine.GET("/api/items/:id", func(c *gin.Context) {
		item(c.Writer, c.Param("id"))
	})
	return gatehouse.Chain(engine, stack...)
}

// ginRoute tells the log line which route it was.
func ginRoute(c *gin.Context) {
	correlation.SetRoute(c.Request.Context(), c.FullPath())
	c.Next()
}

// GinMiddleware adapts a middleware that does not wrap the writer (all but
// correlation and a nonce policy of secheaders) to one group of gin routes:
//
//	admin := engine.Group("/admin", GinMiddleware(limiter.Handler))
func GinMiddleware(mw func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}
