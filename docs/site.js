// Wide tables scroll in a box that the theme makes, and keys cannot reach.
document$.subscribe(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) box.tabIndex = 0;
});
