CREATE TABLE yard (
  yard_id INTEGER PRIMARY KEY,
  yard_name TEXT NOT NULL,
  elevation INTEGER NOT NULL,
  main_forage TEXT,
  landowner TEXT NOT NULL
);

CREATE TABLE hive (
  hive_code TEXT PRIMARY KEY,
  yard_id INTEGER NOT NULL,
  hive_type TEXT NOT NULL,
  frames INTEGER NOT NULL,
  set_up_year INTEGER NOT NULL,
  FOREIGN KEY (yard_id) REFERENCES yard (yard_id)
);

CREATE TABLE queen (
  queen_id INTEGER PRIMARY KEY,
  hive_code TEXT,
  race TEXT NOT NULL,
  hatched INTEGER NOT NULL,
  paint_mark TEXT,
  breeder TEXT,
  FOREIGN KEY (hive_code) REFERENCES hive (hive_code)
);

CREATE TABLE inspection (
  inspection_id INTEGER PRIMARY KEY,
  hive_code TEXT NOT NULL,
  visited TEXT NOT NULL,
  brood_frames INTEGER NOT NULL,
  mite_count INTEGER,
  temper TEXT NOT NULL,
  FOREIGN KEY (hive_code) REFERENCES hive (hive_code)
);

CREATE TABLE harvest (
  harvest_id INTEGER PRIMARY KEY,
  hive_code TEXT NOT NULL,
  taken_on TEXT NOT NULL,
  kilos REAL NOT NULL,
  moisture REAL,
  variety TEXT NOT NULL,
  FOREIGN KEY (hive_code) REFERENCES hive (hive_code)
);
