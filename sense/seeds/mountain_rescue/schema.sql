CREATE TABLE volunteer (
  volunteer_id INTEGER PRIMARY KEY,
  surname TEXT NOT NULL,
  village TEXT NOT NULL,
  speciality TEXT,
  joined_year INTEGER NOT NULL,
  search_dog TEXT
);

CREATE TABLE callout (
  callout_id INTEGER PRIMARY KEY,
  alarm_date TEXT NOT NULL,
  massif TEXT NOT NULL,
  cause TEXT NOT NULL,
  weather TEXT,
  people_rescued INTEGER NOT NULL,
  helicopter TEXT NOT NULL
);

CREATE TABLE attendance (
  volunteer_id INTEGER NOT NULL,
  callout_id INTEGER NOT NULL,
  hours REAL NOT NULL,
  led_party TEXT NOT NULL,
  PRIMARY KEY (volunteer_id, callout_id),
  FOREIGN KEY (volunteer_id) REFERENCES volunteer (volunteer_id),
  FOREIGN KEY (callout_id) REFERENCES callout (callout_id)
);

CREATE TABLE equipment (
  tag TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  cost REAL NOT NULL,
  bought_year INTEGER NOT NULL,
  holder_id INTEGER,
  FOREIGN KEY (holder_id) REFERENCES volunteer (volunteer_id)
);
