"""The interactive API page at `/docs`: Swagger UI from a package, so that it works offline."""

from flask import Flask
from flask_swagger_ui import get_swaggerui_blueprint

DOCS_PATH = "/docs"


def register_docs_page(app: Flask, title: str) -> None:
    """Serve Swagger UI for this service's `/openapi.json`."""
    blueprint = get_swaggerui_blueprint(
        DOCS_PATH,
        "/openapi.json",
        config={
            "app_name": title,
            "layout": "BaseLayout",
            # The default asks a server on the internet to validate the document.
            "validatorUrl": None,
            "tryItOutEnabled": True,
            "displayRequestDuration": True,
            "defaultModelsExpandDepth": 0,
        },
    )
    app.register_blueprint(blueprint)
    # Without a rule of its own the path without a slash answers a wrong method with 404, not 405.
    app.add_url_rule(DOCS_PATH, endpoint=f"{blueprint.name}.show")
