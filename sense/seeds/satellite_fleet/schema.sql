CREATE TABLE operator (
  operator_id INTEGER PRIMARY KEY,
  operator_name TEXT NOT NULL,
  country TEXT NOT NULL,
  founded INTEGER NOT NULL
);

CREATE TABLE satellite (
  norad_id INTEGER PRIMARY KEY,
  callsign TEXT NOT NULL,
  operator_id INTEGER NOT NULL,
  orbit TEXT NOT NULL,
  launch_date TEXT NOT NULL,
  mass_kg REAL NOT NULL,
  status TEXT NOT NULL,
  decayed_on TEXT,
  FOREIGN KEY (operator_id) REFERENCES operator (operator_id)
);

CREATE TABLE ground_station (
  station_code TEXT PRIMARY KEY,
  site TEXT NOT NULL,
  latitude REAL NOT NULL,
  dish_m REAL NOT NULL,
  band TEXT
);

CREATE TABLE contact (
  contact_id INTEGER PRIMARY KEY,
  norad_id INTEGER NOT NULL,
  station_code TEXT NOT NULL,
  pass_date TEXT NOT NULL,
  minutes REAL NOT NULL,
  megabytes REAL,
  FOREIGN KEY (norad_id) REFERENCES satellite (norad_id),
  FOREIGN KEY (station_code) REFERENCES ground_station (station_code)
);
