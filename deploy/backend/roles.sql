-- The database and its three roles, once, as a superuser of PostgreSQL 15 or later:
--   psql --file roles.sql postgres
-- then `kiosk backend init --database postgresql://kiosk_owner@db/kiosk --serving-role kiosk_serving`.
--
-- Passwords come from files named like the roles, in the directory that KIOSK_PASSWORDS names.
-- Without it the roles have none, and log in as pg_hba.conf says.
\set ON_ERROR_STOP on

-- Owns the tables and migrates them; serves nobody.
create role kiosk_owner login;
-- What `kiosk backend serve` runs as: rows, and no table. Row level security holds it to one tenant.
create role kiosk_serving login;
-- Reads everything of every tenant, for backups, and can write nothing.
create role kiosk_reader login bypassrls;
grant pg_read_all_data to kiosk_reader;
alter role kiosk_reader set default_transaction_read_only = on;

\getenv passwords KIOSK_PASSWORDS
\if :{?passwords}
    \set password `cat "$KIOSK_PASSWORDS/kiosk_owner"`
    alter role kiosk_owner password :'password';
    \set password `cat "$KIOSK_PASSWORDS/kiosk_serving"`
    alter role kiosk_serving password :'password';
    \set password `cat "$KIOSK_PASSWORDS/kiosk_reader"`
    alter role kiosk_reader password :'password';
    \unset password
\endif

create database kiosk owner kiosk_owner;
revoke all on database kiosk from public;
grant connect on database kiosk to kiosk_serving, kiosk_reader;

-- A tenant that wants to read its own rows with its own role:
--   create role aquarium_reader login;
--   grant connect on database kiosk to aquarium_reader;
--   grant select on all tables in schema public to aquarium_reader;  -- in the database kiosk
--   kiosk backend tenant aquarium --database-role aquarium_reader
