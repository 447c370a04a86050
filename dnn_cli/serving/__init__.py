"""Serve trained networks: a page to draw on, and the HTTP interfaces that other programs know.

`models` holds the networks. `tensorflow_rest`, `open_inference` and `pictures` are the interfaces, `page` is the page,
`app` puts them together behind `limits` and `metrics`, and `server` runs them. Only this package imports FastAPI and
uvicorn.
"""
