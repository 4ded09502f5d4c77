CREATE TABLE Player (
  PlayerID INTEGER PRIMARY KEY,
  FullName TEXT NOT NULL,
  Rating INTEGER,
  Joined TEXT NOT NULL,
  Title TEXT,
  AgeGroup TEXT NOT NULL
);

CREATE TABLE Tournament (
  TournamentID INTEGER PRIMARY KEY,
  TournamentName TEXT NOT NULL,
  Format TEXT NOT NULL,
  StartDate TEXT NOT NULL,
  PrizeFund INTEGER
);

CREATE TABLE Game (
  GameID INTEGER PRIMARY KEY,
  TournamentID INTEGER,
  WhiteID INTEGER NOT NULL,
  BlackID INTEGER NOT NULL,
  Opening TEXT NOT NULL,
  Result TEXT NOT NULL,
  Moves INTEGER NOT NULL,
  FOREIGN KEY (TournamentID) REFERENCES Tournament (TournamentID),
  FOREIGN KEY (WhiteID) REFERENCES Player (PlayerID),
  FOREIGN KEY (BlackID) REFERENCES Player (PlayerID)
);
