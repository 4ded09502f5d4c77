CREATE TABLE Consignors (
  ConsignorId INTEGER PRIMARY KEY,
  Name TEXT NOT NULL,
  City TEXT NOT NULL,
  CommissionPct REAL NOT NULL
);

CREATE TABLE Lots (
  LotNumber INTEGER PRIMARY KEY,
  ConsignorId INTEGER NOT NULL,
  Title TEXT NOT NULL,
  Department TEXT NOT NULL,
  MadeIn INTEGER,
  LowEstimate INTEGER NOT NULL,
  HighEstimate INTEGER NOT NULL,
  HammerPrice INTEGER,
  FOREIGN KEY (ConsignorId) REFERENCES Consignors (ConsignorId)
);

CREATE TABLE Bidders (
  Paddle INTEGER PRIMARY KEY,
  FullName TEXT NOT NULL,
  Country TEXT NOT NULL,
  RegisteredOn TEXT NOT NULL,
  CreditLimit INTEGER
);

CREATE TABLE Bids (
  BidId INTEGER PRIMARY KEY,
  LotNumber INTEGER NOT NULL,
  Paddle INTEGER NOT NULL,
  Amount INTEGER NOT NULL,
  PlacedBy TEXT NOT NULL,
  FOREIGN KEY (LotNumber) REFERENCES Lots (LotNumber),
  FOREIGN KEY (Paddle) REFERENCES Bidders (Paddle)
);
