"""The playground: a page for the browser, in `static`, served at `/` without a build step."""
