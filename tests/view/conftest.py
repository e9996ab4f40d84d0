"""Pages of a small preset, in the browser of tests/kit."""

import pytest
from view_kit import ready_store, served, write_preset


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    return write_preset(tmp_path_factory.mktemp("view") / "small")


@pytest.fixture(scope="session")
def store(artifacts):
    return ready_store(artifacts)


@pytest.fixture(scope="session")
def address(store):
    with served(store) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """open_page(view, width=1280, ...): a page at this view, its strip drawn; no error and no refusal by its policy."""
    contexts, trouble = [], []

    def open_page(view: str = "", *, at: str = address, width: int = 1280, height: int = 800, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.goto(f"{at}#{view}")
        page.wait_for_selector(".strip .tok", state="attached")
        # Colours come with the scales.
        page.wait_for_selector(".legend", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble
