CREATE TABLE branch (
  branch_id INTEGER PRIMARY KEY,
  branch_name TEXT NOT NULL,
  street TEXT NOT NULL,
  opened INTEGER NOT NULL,
  reading_seats INTEGER
);

CREATE TABLE book (
  isbn TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  author TEXT NOT NULL,
  genre TEXT NOT NULL,
  published INTEGER NOT NULL,
  pages INTEGER
);

CREATE TABLE copy (
  barcode INTEGER PRIMARY KEY,
  isbn TEXT NOT NULL,
  branch_id INTEGER NOT NULL,
  shelf TEXT NOT NULL,
  condition TEXT NOT NULL,
  FOREIGN KEY (isbn) REFERENCES book (isbn),
  FOREIGN KEY (branch_id) REFERENCES branch (branch_id)
);

CREATE TABLE reader (
  card_no INTEGER PRIMARY KEY,
  reader_name TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  email TEXT,
  home_branch INTEGER NOT NULL,
  FOREIGN KEY (home_branch) REFERENCES branch (branch_id)
);

CREATE TABLE loan (
  loan_id INTEGER PRIMARY KEY,
  barcode INTEGER NOT NULL,
  card_no INTEGER NOT NULL,
  lent_on TEXT NOT NULL,
  due_on TEXT NOT NULL,
  returned_on TEXT,
  fine REAL NOT NULL,
  FOREIGN KEY (barcode) REFERENCES copy (barcode),
  FOREIGN KEY (card_no) REFERENCES reader (card_no)
);
