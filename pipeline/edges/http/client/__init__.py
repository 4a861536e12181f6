"""headrace's connections under `httpx.AsyncClient`, for programs of others. A run does not need anything here.

transport  HeadraceTransport: idle connections, one stack of them per origin
exchange   one request and response, and its troubles in httpx's words
"""
