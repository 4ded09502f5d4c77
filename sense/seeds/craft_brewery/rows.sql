INSERT INTO style VALUES
  (1, 'Pale Ale', 'top', 'England'),
  (2, 'Stout', 'top', 'Ireland'),
  (3, 'Pilsner', 'bottom', 'Bohemia'),
  (4, 'Saison', 'top', 'Wallonia'),
  (5, 'Gose', 'mixed', 'Saxony'),
  (6, 'Helles', 'bottom', 'Bavaria'),
  (7, 'Spontaneous Ale', 'wild', NULL);

INSERT INTO beer VALUES
  (1, 'Lantern Pale', 1, 4.8, 38, 2014),
  (2, 'Night Ferry', 2, 6.2, 45, 2015),
  (3, 'Copper Gate', 1, 5.4, 42, 2016),
  (4, 'Old Weir Pils', 3, 5.0, 34, 2014),
  (5, 'Haymaker', 4, 6.8, 25, 2018),
  (6, 'Salt Market', 5, 4.1, 8, 2019),
  (7, 'Black Heron', 2, 9.5, 60, 2017),
  (8, 'Meadow Light', 6, 3.2, 16, 2021),
  (9, 'Orchard Saison', 4, 7.4, NULL, 2022),
  (10, 'Ferryman Export', 2, 7.1, 52, 2020),
  (11, 'Bright Morning', 6, 4.9, 18, 2023);

INSERT INTO hop VALUES
  (1, 'Saaz', 'Czechia', 3.5, 'spicy'),
  (2, 'Fuggle', 'England', 4.6, 'earthy'),
  (3, 'Cascade', 'United States', 6.0, 'grapefruit'),
  (4, 'Citra', 'United States', 12.5, 'tropical'),
  (5, 'Hallertau', 'Germany', 4.1, 'floral'),
  (6, 'Magnum', 'Germany', 13.2, NULL),
  (7, 'Nelson Sauvin', 'New Zealand', 12.0, 'white wine'),
  (8, 'Challenger', 'England', 7.8, 'cedar');

INSERT INTO recipe_hop VALUES
  (1, 3, 180, 'late'),
  (1, 4, 120, 'dry'),
  (2, 2, 140, 'bitter'),
  (2, 8, 60, 'late'),
  (3, 8, 90, 'bitter'),
  (3, 3, 210, 'dry'),
  (4, 1, 250, 'late'),
  (4, 6, 40, 'bitter'),
  (5, 5, 110, 'bitter'),
  (5, 1, 70, 'late'),
  (6, 5, 30, 'bitter'),
  (7, 6, 95, 'bitter'),
  (7, 2, 160, 'late'),
  (8, 5, 65, 'bitter'),
  (9, 1, 80, 'bitter'),
  (9, 7, 150, 'dry'),
  (10, 6, 75, 'bitter'),
  (10, 8, 85, 'late');

INSERT INTO batch VALUES
  ('B-101', 1, '2024-01-09', 'T1', 2000, 'Joost', '2024-02-02'),
  ('B-102', 4, '2024-01-16', 'T3', 3000, 'Amelie', '2024-03-05'),
  ('B-103', 2, '2024-01-30', 'T2', 1500, 'Joost', '2024-02-27'),
  ('B-104', 1, '2024-02-06', 'T1', 2000, 'Kofi', '2024-03-01'),
  ('B-105', 8, '2024-02-20', 'T4', 2500, 'Amelie', '2024-04-02'),
  ('B-106', 3, '2024-03-05', 'T1', 1800, 'Kofi', '2024-03-29'),
  ('B-107', 7, '2024-03-12', 'T2', 900, 'Amelie', '2024-06-18'),
  ('B-108', 5, '2024-04-09', 'T5', 1200, 'Amelie', '2024-05-14'),
  ('B-109', 1, '2024-04-16', 'T1', 2100, 'Joost', '2024-05-10'),
  ('B-110', 6, '2024-05-07', 'T5', 1000, 'Petra', '2024-06-04'),
  ('B-111', 4, '2024-05-21', 'T3', 3000, 'Amelie', '2024-07-09'),
  ('B-112', 10, '2024-06-11', 'T2', 1400, 'Kofi', NULL),
  ('B-113', 3, '2024-06-25', 'T1', 1950, 'Petra', '2024-07-19'),
  ('B-114', 5, '2024-07-02', 'T5', 1250, 'Amelie', NULL),
  ('B-115', 1, '2024-07-16', 'T4', 2050, 'Joost', NULL);
