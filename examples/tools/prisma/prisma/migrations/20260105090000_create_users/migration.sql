-- CreateTable
CREATE TABLE "users" (
    "id" BIGSERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "tags" JSONB,

    CONSTRAINT "users_pkey" PRIMARY KEY ("id")
);

INSERT INTO "users" ("name") VALUES ('Ada Lovelace'), ('Grace Hopper');
