CREATE TABLE line (
  line_no INTEGER PRIMARY KEY,
  colour TEXT NOT NULL,
  depot TEXT NOT NULL,
  opened INTEGER NOT NULL,
  length_km REAL NOT NULL
);

CREATE TABLE stop (
  stop_id INTEGER PRIMARY KEY,
  stop_name TEXT NOT NULL,
  zone TEXT NOT NULL,
  step_free TEXT NOT NULL,
  shelter_built INTEGER
);

CREATE TABLE line_stop (
  line_no INTEGER NOT NULL,
  stop_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (line_no, stop_id),
  FOREIGN KEY (line_no) REFERENCES line (line_no),
  FOREIGN KEY (stop_id) REFERENCES stop (stop_id)
);

CREATE TABLE driver (
  badge INTEGER PRIMARY KEY,
  driver_name TEXT NOT NULL,
  hired_year INTEGER NOT NULL,
  depot TEXT NOT NULL,
  mentor_badge INTEGER,
  FOREIGN KEY (mentor_badge) REFERENCES driver (badge)
);

CREATE TABLE trip (
  trip_id INTEGER PRIMARY KEY,
  line_no INTEGER NOT NULL,
  badge INTEGER NOT NULL,
  trip_date TEXT NOT NULL,
  delay_minutes INTEGER NOT NULL,
  passengers INTEGER,
  FOREIGN KEY (line_no) REFERENCES line (line_no),
  FOREIGN KEY (badge) REFERENCES driver (badge)
);
