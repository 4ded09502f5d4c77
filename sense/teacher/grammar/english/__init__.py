"""Questions in English for requests: noun phrases first, then what is asked for, then the style of a sentence."""
