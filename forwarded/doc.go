// Package forwarded tells who the client of a request is when proxies stand in
// front of the server: the client's address, whether it came over HTTPS, and the
// host it asked for.
//
// # What it stops
//
// Rate limits, allow-lists, audit logs and "is this HTTPS?" are only as good as
// the address and the scheme they look at. Behind a proxy the peer of the TCP
// connection is the proxy, so the truth is in a header, and any client can send
// that header too. A server that reads X-Forwarded-For from the left, or takes
// the first of X-Real-IP, True-Client-IP and CF-Connecting-IP that is there, lets
// every client choose its own address: a new one for each request defeats a
// limit, somebody else's locks that person out.
//
// This package reads only the headers that its [Config] names, believes them only
// where a proxy can have written them, and reads a chain from the right, where
// the nearest proxy writes, never further than trust reaches. A client can put
// whatever it likes to the left: the answer does not change.
//
//	res, err := forwarded.New(forwarded.Config{
//		Proxies:     []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//		ProtoHeader: "X-Forwarded-Proto",
//	})
//	if err != nil { ... }
//	limiter, err := ratelimit.New(ratelimit.Config{ClientIP: res.ClientIP, ...})
//	headers, err := secheaders.New(secheaders.Config{HTTPS: res.HTTPS})
//
// A [Resolver] is no middleware: it answers nothing and changes no request. Its
// methods have the shapes that the other packages take.
//
// # The policies
//
// One of them applies, and each is safe only in the network it was made for.
//
// Nobody (the zero Config): the peer is the client. Safe everywhere. Wrong behind
// a proxy, where all clients then share the proxy's address, and one client can
// spend everybody's rate limit; but nobody can be impersonated.
//
// Trusted networks (Proxies): the chain is walked from the right, past every
// address inside Proxies; the first address outside is the client. Use it
// wherever you know the addresses of your proxies, in any number. Not safe when
// clients, or machines that strangers can rent, have addresses inside Proxies: a
// client at 10.1.2.3 behind Proxies of 10.0.0.0/8 is taken for one more proxy, and
// what it forged to its left is believed. List the proxies, not the whole network.
//
// Hops: exactly this many proxies each append one element; the client is the
// element that far from the right. Use it where the number of proxies is fixed
// and their addresses are not (Heroku, Render, load balancers of a cloud). Not
// safe when there is a shorter way to the server than through all of them: whoever
// takes it has that many elements fewer appended, so the element that is believed
// is one that the client wrote. Too small a number is harmless (the client is then
// one of your proxies); too large a number is forgery for everybody.
//
// One header (Header): the platform's edge writes the address into a header of
// its own and overwrites what the client sent (Fly-Client-IP, Railway's
// X-Real-IP). Not safe where the edge passes the header on untouched, or where the
// port can be reached without passing the edge: then one line of curl picks the
// address. CF-Connecting-IP with Proxies of all of Cloudflare's networks is not
// proof that it was your zone that sent it: see [Platform].
//
// RFC7239: Proxies and Hops read the standard Forwarded header instead of
// X-Forwarded-For. Use it only where every proxy of yours writes Forwarded. A
// proxy that knows only X-Forwarded-For passes Forwarded on as the client wrote
// it, and the other way round: this is why a resolver never looks at both. Few
// proxies write Forwarded themselves; two recipes that are handed around for the
// others let a client forge it. An element with host="$http_host" lets the client
// write elements, since nginx takes a Host with quotes in it (put for= last: then
// what was injected is garbage here). And nginx before 1.23 knows only the first
// line of $http_forwarded, so behind a proxy that adds a line of its own it passes
// on the client's line alone.
//
// # The peer
//
// Whatever the policy, headers are believed only from a peer inside Proxies.
// InsecureAnyPeer gives this check up, for platforms whose edge has no known
// address and where nothing else can reach the port; where that is not so, every
// machine that can reach the port chooses its address, scheme and host. A peer
// without an address, as on a Unix-domain socket, is in no network: there the
// permissions of the socket are the check, and Hops or Header with
// InsecureAnyPeer are the policies to use.
//
// # What is accepted
//
// All lines of a header are one list (RFC 9110, section 5.3), so a proxy that adds
// a line of its own and one that appends to the client's line read the same. Empty
// elements are skipped (section 5.6.1). An element is an address, with or without
// a port, IPv6 with or without brackets; in Forwarded exactly what RFC 7239,
// section 4, allows. IPv4-mapped IPv6 addresses become IPv4. The zone of a
// link-local address, which proxies written in Go report, is dropped: it means
// nothing outside the proxy's machine. A zone anywhere else is garbage.
//
// "unknown" and obfuscated identifiers ("_hidden"; RFC 7239, section 6) are no
// addresses: they end the walk past Proxies, for nobody can say whether they are a
// proxy of yours, and are counted by Hops, where the position says so.
//
// Anything else is garbage and ends the walk at the last trusted address; Hops
// gives the peer. The same happens at the end of the chain, after 32 elements, and
// at an element longer than 512 bytes: work on hostile input is bounded, and no
// header can make the resolver step over something it does not understand.
//
// A client may have its headers removed: "Connection: X-Real-IP" makes some
// proxies drop the field as hop-by-hop. The answer then is the peer, the proxy.
// That hides a client among those who do the same; it forges nothing.
//
// # Cost
//
// No allocation for well-formed input and no state but the compiled Config. A
// Resolver is safe for concurrent use.
package forwarded
