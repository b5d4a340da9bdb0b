"use strict";
{
  const $ = (id) => document.getElementById(id);
  const table = $("rows");
  const body = table.tBodies[0];
  const filters = $("filters");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const certificates = ["ahead", "not", "none"];
  const rows = Array.from(body.rows, (element, order) => {
    const text = (name) => element.querySelector("." + name).textContent;
    const { kind, share, certificate } = element.dataset;
    return {
      element, order, kind, certificate,
      id: text("id"), text: text("text"),
      share: share === undefined ? null : Number(share),
      words: (text("id") + " " + text("text") + " " + text("kind")).toLowerCase(),
    };
  });

  const percent = (value) => Number(value) / 100;
  function filter() {
    const words = $("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [least, most] = [Number($("least").value), Number($("most").value)].sort((a, b) => a - b);
    const whole = least === 0 && most === 100;
    $("range").textContent = `${least} to ${most} %`;
    const [certificate, kind] = [$("certificate").value, $("kind").value];
    let shown = 0;
    for (const row of rows) {
      const inRange = whole || (row.share !== null && percent(least) <= row.share && row.share <= percent(most));
      const matches = inRange
        && (certificate === "" || row.certificate === certificate)
        && (kind === "" || row.kind === kind)
        && words.every((word) => row.words.includes(word));
      row.element.hidden = !matches;
      shown += matches;
    }
    $("none").hidden = shown !== 0;
    $("status").textContent = `${shown} of ${rows.length} rows`;
  }

  const compare = {
    id: (a, b) => collator.compare(a.id, b.id),
    text: (a, b) => collator.compare(a.text, b.text),
    share: (a, b) => a.share - b.share,
    certificate: (a, b) => certificates.indexOf(a.certificate) - certificates.indexOf(b.certificate),
    kind: (a, b) => collator.compare(a.kind, b.kind),
  };
  function sort(heading) {
    const { key } = heading.dataset;
    // Shares are looked at from the highest.
    const first = key === "share" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = heading.getAttribute("aria-sort") === first ? other : first;
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const sorted = rows.slice().sort((a, b) => {
      // What has no share stands last, either way.
      if (key === "share" && (a.share === null || b.share === null)) {
        return (a.share === null) - (b.share === null) || a.order - b.order;
      }
      return sign * compare[key](a, b) || a.order - b.order;
    });
    body.append(...sorted.map((row) => row.element));
  }

  for (const heading of table.tHead.querySelectorAll("[data-key]")) {
    heading.querySelector("button").addEventListener("click", () => sort(heading));
  }
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  // After the controls have their first values again.
  filters.addEventListener("reset", () => setTimeout(filter));
  const errors = $("errors");
  if (errors) {
    errors.addEventListener("click", () => {
      filters.reset();
      $("kind").value = "error";
      filter();
      $("kind").focus();
    });
  }
  filter();
}
