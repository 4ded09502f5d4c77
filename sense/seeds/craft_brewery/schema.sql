CREATE TABLE style (
  style_id INTEGER PRIMARY KEY,
  style_name TEXT NOT NULL,
  fermentation TEXT NOT NULL,
  origin TEXT
);

CREATE TABLE beer (
  beer_id INTEGER PRIMARY KEY,
  beer_name TEXT NOT NULL,
  style_id INTEGER NOT NULL,
  abv REAL NOT NULL,
  bitterness INTEGER,
  first_brewed INTEGER NOT NULL,
  FOREIGN KEY (style_id) REFERENCES style (style_id)
);

CREATE TABLE hop (
  hop_id INTEGER PRIMARY KEY,
  variety TEXT NOT NULL,
  country TEXT NOT NULL,
  alpha_acid REAL NOT NULL,
  aroma TEXT
);

CREATE TABLE recipe_hop (
  beer_id INTEGER NOT NULL,
  hop_id INTEGER NOT NULL,
  grams_per_hl INTEGER NOT NULL,
  stage TEXT NOT NULL,
  PRIMARY KEY (beer_id, hop_id),
  FOREIGN KEY (beer_id) REFERENCES beer (beer_id),
  FOREIGN KEY (hop_id) REFERENCES hop (hop_id)
);

CREATE TABLE batch (
  batch_no TEXT PRIMARY KEY,
  beer_id INTEGER NOT NULL,
  brew_date TEXT NOT NULL,
  tank TEXT NOT NULL,
  litres INTEGER NOT NULL,
  brewer TEXT NOT NULL,
  bottled_on TEXT,
  FOREIGN KEY (beer_id) REFERENCES beer (beer_id)
);
