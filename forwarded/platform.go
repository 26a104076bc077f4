package forwarded

import (
	"github.com/gatehouse-go/gatehouse"
)

// Platform returns the Config for a platform by its name, for a PLATFORM
// environment variable:
//
//	none        no proxy: the zero Config
//	railway     Railway: X-Real-IP
//	render      Render: X-Forwarded-For, second from the right (Cloudflare, then Render)
//	fly         Fly.io: Fly-Client-IP
//	heroku      Heroku: X-Forwarded-For, last
//	cloudrun    Google Cloud Run, reached directly: X-Forwarded-For, last
//	alb         AWS Application Load Balancer: X-Forwarded-For, last
//	cloudflare  Cloudflare in front of your own server: CF-Connecting-IP; set Proxies
//
// All take the scheme from X-Forwarded-Proto and the host from Host. Another name
// is a *gatehouse.ConfigError.
//
// The presets set InsecureAnyPeer, because these edges have no documented
// addresses and the platform lets nothing else from the internet reach the port.
// What can reach it inside is yours to know: other services in a project's private
// network (Railway, Render, Fly, Heroku's Private Spaces) can forge the headers,
// and so can everybody for "alb" unless the target's security group admits the
// balancer alone. Where you know the addresses, set Proxies and clear
// InsecureAnyPeer.
//
// A preset is right for one edge. With a CDN of your own in front of it, the edge
// reports the CDN's address: all visitors share a few. On the platforms that
// append to X-Forwarded-For, count the CDN in Hops, but only once the platform's
// own host name is closed to the public; until then, one hop more is forgery for
// whoever goes around the CDN.
//
// "cloudflare" is not valid until Proxies holds Cloudflare's networks
// (https://www.cloudflare.com/ips/), which change: fetch them when you deploy.
// These addresses belong to all of Cloudflare's customers, so they prove that a
// request came through Cloudflare, not through your zone: require Authenticated
// Origin Pulls with a certificate of your own, or use a tunnel.
func Platform(name string) (Config, error) {
	edge := Config{InsecureAnyPeer: true, ProtoHeader: "X-Forwarded-Proto"}
	switch name {
	case "none":
		return Config{}, nil
	case "railway":
		// X-Real-IP is documented as the client's address and X-Forwarded-Proto
		// as always https. X-Forwarded-For stood there once and no longer does,
		// so what it holds is anybody's guess: never read it there.
		// docs.railway.com/networking/public-networking/specs-and-limits, 2026-11.
		edge.Header = "X-Real-IP"
	case "render":
		// Every service is behind Cloudflare, then Render's own proxy:
		// "X-Forwarded-For: <client's own>, <client>, <Cloudflare edge>".
		// Observed, not promised: rohitpaulk.com/articles/render-rails-remote-ip,
		// read 2026-11.
		edge.Hops = 2
	case "fly":
		// Fly-Client-IP is the address that Fly's proxy accepted the connection
		// from. The last element of X-Forwarded-For is the app's own address.
		// fly.io/docs/networking/request-headers, 2026-11.
		edge.Header = "Fly-Client-IP"
	case "heroku":
		// The router appends the address of the client that connected to it.
		// devcenter.heroku.com/articles/http-routing, "Heroku headers", 2026-11.
		edge.Hops = 1
	case "cloudrun":
		// Reached at its run.app address or a domain mapping, the front end
		// writes the client's address last (some report that it drops what was
		// there: the last element is the client either way). Behind a Google
		// load balancer the chain ends "<client>, <balancer>" instead:
		// cloud.google.com/load-balancing/docs/https, 2026-11.
		edge.Hops = 1
	case "alb":
		// Appends the client's address, with its port if
		// routing.http.xff_client_port.enabled. The attribute
		// routing.http.xff_header_processing.mode must be "append", the default:
		// "preserve" passes on what the client wrote, "remove" leaves nothing.
		// docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html,
		// 2026-11.
		edge.Hops = 1
	case "cloudflare":
		// developers.cloudflare.com/fundamentals/reference/http-headers, 2026-11.
		edge.Header, edge.InsecureAnyPeer = "CF-Connecting-IP", false
	default:
		return Config{}, &gatehouse.ConfigError{
			Package: "forwarded", Field: "Platform", Value: name,
			Reason: `is none of "none", "railway", "render", "fly", "heroku", "cloudrun", "alb", "cloudflare"; for another one write a Config`,
		}
	}
	return edge, nil
}
