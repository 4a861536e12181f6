"""Our own HTTP/1.1 client on trio sockets: one keep-alive connection per worker, no pool, nothing scanned.

    response   what a server's bytes mean: no socket, no clock (llhttp through httptools)
    decoding   content codings, with bounded output
    request    the head of a request, built once per method and url
    connect    name → TCP or Unix socket → TLS
    connection one socket: send, receive, is it still fresh
    watch      deadlines of all connections, by one task
    direct     DirectSender: a Job in, an Answer or a Fault out
    over_httpx HttpxSender: the same over any httpx transport
    over_http2 Http2Sender: the same in HTTP/2
    transport  HeadraceTransport: the same connections under `httpx.AsyncClient`
    exchange   one request and response in its words
    senders    open_senders: which of them a run uses

Only `over_httpx`, `over_http2`, `transport` and `exchange` import httpx; nothing else waits for that import.
"""

from pipeline.edges.http.direct import Counts
from pipeline.edges.http.senders import Transport, check_endpoint, open_senders, senders_over

__all__ = ["Counts", "Transport", "check_endpoint", "open_senders", "senders_over"]
