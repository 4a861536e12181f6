"""Our own HTTP/1.1 client on trio sockets: one keep-alive connection per worker, no pool, nothing scanned.

    endpoint   what there is to know about the far end: address, key, deadlines, caps
    response   what a server's bytes mean: no socket, no clock (llhttp through httptools)
    decoding   content codings, undone in short steps with bounded output
    body       one body, from the pieces received to the bytes of an answer, for both transports
    memory     a bound on all bodies that are being received
    pairing    whether answers still belong to their requests
    causes     which exception means what, as a FaultCause and a sentence
    request    the head of a request, built once per method and url
    proxies    which proxy the environment asks for
    connect    name → TCP or Unix socket → TLS
    connection one socket: send, receive, is it still fresh
    sessions   by which TLS connections begin
    watch      deadlines of all connections, by one task
    readiness  arrivals on all connections, by one task
    direct     DirectSender: a Job in, an Answer or a Fault out
    over_httpx HttpxSender: the same over any httpx transport; over_httpx_reuse looks after its connection
    over_http2 Http2Sender: the same in HTTP/2
    senders    open_senders: which of them a run uses
    client/    HeadraceTransport: the same connections under `httpx.AsyncClient`

Only `over_httpx*`, `over_http2` and `client` import httpx; nothing else waits for that import.
"""

from pipeline.edges.http.direct import Counts
from pipeline.edges.http.senders import check_endpoint, open_senders, senders_over

__all__ = ["Counts", "check_endpoint", "open_senders", "senders_over"]
