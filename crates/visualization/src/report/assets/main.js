// Start: everything is built once, then drawn whenever the state changes.

buildControls();
buildFilmstrip();
panels.forEach(listenToPanel);
listenToWords();
listenToTokens();
listenToControls();
listenToKeys();
[drawPanels, drawReadout, drawWords, drawTables, drawFilmstrip, drawControls].forEach(onChange);
// Sizes of canvases follow the window.
new ResizeObserver(() => update({})).observe(byId('stages'));
update({});
