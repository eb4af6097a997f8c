"""Write the benchmark's report as HTML and Markdown."""
