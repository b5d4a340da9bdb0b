// Start: everything is built once, then drawn whenever the state changes.

// Where the first map is: an empty picture would say nothing.
if (data.pictures.length > 0) state.picture = warmest(state.last);
buildControls();
buildFilmstrip();
listenToSlices();
panels.forEach(listenToPanel);
listenToWords();
listenToTokens();
listenToControls();
listenToKeys();
[drawPanels, drawReadout, drawWords, drawTables, drawSlices, drawProjections, drawFilmstrip, drawControls].forEach(onChange);
// Sizes of canvases follow the window.
new ResizeObserver(() => update({})).observe(byId('stages'));
update({});
