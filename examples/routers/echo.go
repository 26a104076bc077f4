package routers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
)

// Echo stands inside the stack: it writes its own errors, 404 and 405 among them,
// after its middleware has returned, so an access log within would tell 200. For
// one group of routes echo.WrapMiddleware takes whatever does not log:
//
//	admin := e.Group("/admin", echo.WrapMiddleware(limiter.Handler))
func Echo(stack ...func(http.Handler) http.Handler) http.Handler {
	e := echo.New()
	e.Use(echoRoute)
	e.GET("/api/items/:id", func(c echo.Context) error {
		item(c.Response(), c.Param("id"))
		return nil
	})
	return gatehouse.Chain(e, stack...)
}

// echoRoute tells the log line which route it was.
func echoRoute(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		correlation.SetRoute(c.Request().Context(), c.Path())
		return next(c)
	}
}
