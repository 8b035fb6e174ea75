"""One adapter for each library that is measured. They import it only when they are imported themselves."""
