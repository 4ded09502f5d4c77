"""SQL written by models: extracted from completions, checked, executed safely, compared and measured."""
