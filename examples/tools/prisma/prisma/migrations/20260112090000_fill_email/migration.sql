-- AlterTable
ALTER TABLE "users" ADD COLUMN "email" TEXT;

-- Written by hand after `prisma migrate dev --create-only`.
UPDATE "users" SET "email" = replace(lower("name"), ' ', '.') || '@example.com';
