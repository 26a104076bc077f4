// Package routers shows how to wire the Gatehouse middleware into the routers
// that services already have: the standard mux, chi, gorilla/mux, echo and gin,
// one file each. The table test drives the same requests through all of them
// and expects the same answers.
//
// Two things differ between routers:
//
//   - Where the stack stands. Wrap the whole router with [gatehouse.Chain] where
//     you can: gorilla/mux runs its own middleware only on routes that matched,
//     echo writes errors after its middleware has returned, and gin's handlers
//     need a response writer of gin's kind. chi and alice run plain
//     func(http.Handler) http.Handler themselves.
//   - How the log line learns the route. The standard mux and chi write it into
//     the request's Pattern, where correlation reads it; the others are told with
//     one line of [correlation.SetRoute].
package routers
