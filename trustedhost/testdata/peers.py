"""Tells what Starlette's TrustedHostMiddleware and Django's ALLOWED_HOSTS make of
hosts. Reads {"list": [...], "hosts": [...]} from standard input and writes, for
each host, {"starlette": bool, "django": bool} in the same order, with the
versions in front."""

import asyncio
import json
import sys

import django
import starlette
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from starlette.middleware.trustedhost import TrustedHostMiddleware


async def accepted(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask_starlette(app, host):
    status = []

    async def send(message):
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"",
        "headers": [(b"host", host.encode())], "server": ("test", 80),
    }
    try:
        asyncio.run(app(scope, None, send))
    except Exception as e:
        return "%s" % type(e).__name__
    return status == [200]


def ask_django(host):
    request = HttpRequest()
    # WSGI hands the bytes of a header over as ISO 8859-1.
    request.META = {"HTTP_HOST": host.encode().decode("latin-1"), "SERVER_NAME": "test", "SERVER_PORT": "80"}
    try:
        request.get_host()
    except DisallowedHost:
        return False
    return True


def main():
    given = json.load(sys.stdin)
    # Django writes *.example.org as .example.org.
    settings.configure(DEBUG=False, ALLOWED_HOSTS=[h[1:] if h.startswith("*.") else h for h in given["list"]])
    app = TrustedHostMiddleware(accepted, allowed_hosts=given["list"], www_redirect=False)
    json.dump({
        "versions": "Starlette %s, Django %s" % (starlette.__version__, django.get_version()),
        "answers": [{"starlette": ask_starlette(app, h), "django": ask_django(h)} for h in given["hosts"]],
    }, sys.stdout)


if __name__ == "__main__":
    main()
