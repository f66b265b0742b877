CREATE TABLE users (
    id   bigint PRIMARY KEY,
    name varchar(80) NOT NULL
);

INSERT INTO users (id, name) VALUES (1, 'Ada Lovelace'), (2, 'Grace Hopper');
