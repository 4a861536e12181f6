"""`headrace report`: one offline HTML file about a run, made from its journal, its output and its config."""
