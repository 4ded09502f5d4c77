CREATE TABLE material (
  code TEXT PRIMARY KEY,
  label TEXT NOT NULL,
  family TEXT NOT NULL,
  price_per_tonne REAL
);

CREATE TABLE hauler (
  hauler_no INTEGER PRIMARY KEY,
  company TEXT NOT NULL,
  district TEXT NOT NULL,
  trucks INTEGER NOT NULL,
  contract_ends TEXT
);

CREATE TABLE delivery (
  delivery_no INTEGER PRIMARY KEY,
  hauler_no INTEGER NOT NULL,
  material_code TEXT NOT NULL,
  arrived TEXT NOT NULL,
  weight_kg INTEGER NOT NULL,
  contamination_pct REAL,
  FOREIGN KEY (hauler_no) REFERENCES hauler (hauler_no),
  FOREIGN KEY (material_code) REFERENCES material (code)
);

CREATE TABLE bale (
  bale_no INTEGER PRIMARY KEY,
  material_code TEXT NOT NULL,
  press_line INTEGER NOT NULL,
  pressed_on TEXT NOT NULL,
  weight_kg INTEGER NOT NULL,
  buyer TEXT,
  FOREIGN KEY (material_code) REFERENCES material (code)
);
