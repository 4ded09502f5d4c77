"""SQL of models: take it out of a completion, judge its form, execute it safely, compare and score results."""
